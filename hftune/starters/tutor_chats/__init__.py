"""The starter data set `hftune:tutor-chats`; card.md says where it is from, build.py makes it again."""
