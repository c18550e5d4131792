"""Prompt files: Markdown with front matter, rendered by sandboxed Jinja, versioned by content hash."""
