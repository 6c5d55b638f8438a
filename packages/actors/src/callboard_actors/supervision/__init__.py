"""Children that are kept alive: what is declared of them, what becomes of them, who decides."""
