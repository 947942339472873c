"""Teacher formats, one module each; ``kinds`` lists them, ``base`` holds their interface."""
