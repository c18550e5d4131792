"""One module per document format; each turns bytes into blocks."""
