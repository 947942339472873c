"""Utilities without knowledge of distillation: YAML, seeds, messages, HTML, Markdown, hardware, user code."""
