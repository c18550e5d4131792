"""The console: chat, prompts, releases."""
