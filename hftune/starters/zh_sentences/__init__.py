"""The starter data set `hftune:zh-sentences`; card.md says where it is from, build.py makes it again."""
