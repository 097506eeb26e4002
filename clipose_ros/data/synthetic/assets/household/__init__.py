"""Shape generators with the spread of real products: sizes and proportions come from standards and data sheets.

``docs/explanation/shapes.md`` lists the ranges with their sources.
"""
