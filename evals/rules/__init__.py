"""The rules that a gate file may hold: what each asks for, and the functions that judge them."""
