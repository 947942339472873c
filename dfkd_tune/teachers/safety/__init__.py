"""Safety checks of untrusted model files, which run before anything in a file is used."""
