"""Text for others to read: HTML, Markdown and JSON."""
