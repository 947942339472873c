"""Private parts of other libraries, a module a library; no other module may use one. Their presence is tested by name, so that a release that drops one is told."""
