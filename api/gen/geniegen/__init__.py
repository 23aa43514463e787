"""The generator: model (what is known), parse (files to model), check, one emit_* per group of
outputs, main (command line). Standard library only; checked with mypy --strict."""
