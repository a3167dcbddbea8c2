"""A page that shows what a photo is made of, and what a model makes of some of it."""
