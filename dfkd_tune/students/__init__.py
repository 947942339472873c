"""Student architectures, one file each, and what is measured or cut of any of them."""
