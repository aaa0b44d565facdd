"""The frontier: a finished model made smaller in several ways, each measured beside it. Which one is worth using?

Each way makes an ordinary run. What was measured lies in a folder of its own beside the runs, which `hftune compress
RUN --frontier` fills result by result and reads when it is started again:

    runs/frontiers/<name of the run>/
      frontier.json                all that `hftune compress RUN --frontier --json` prints; `complete`: is it all of it
      frontier.csv                 a line a model: its run, size, quality and speed
      frontier.png                 quality over size and over time, where matplotlib is installed
"""
