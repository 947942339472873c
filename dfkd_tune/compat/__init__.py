"""Private parts of other libraries, one module per library, used only here. A test checks that each still exists."""
