"""What a stranger's file is checked for before anything of it is used."""
