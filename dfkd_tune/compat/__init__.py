"""Private parts of other libraries, one module per library; no other module uses any. A test checks that each still exists."""
