"""The starter data set `hftune:authors`; card.md says where it is from, build.py makes it again."""
