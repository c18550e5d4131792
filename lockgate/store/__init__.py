"""State that outlives a process: SQLAlchemy tables, migrations and the object folder."""
