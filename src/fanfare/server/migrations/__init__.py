"""How the store's file came to be as it is: one file a step, run by alembic."""
