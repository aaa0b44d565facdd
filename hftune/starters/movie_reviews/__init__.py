"""The starter data set `hftune:movie-reviews`; card.md says where it is from, build.py makes it again."""
