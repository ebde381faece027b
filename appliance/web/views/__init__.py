"""The routes: one file for each noun. A view parses, asks and renders; it decides nothing."""
