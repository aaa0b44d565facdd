"""The ladder: one task by ever larger means, judged on the same test rows. When is the large model worth it?

Its rungs are majority class, TF-IDF with logistic regression, an LSTM, a linear head on the frozen model, LoRA and full
fine-tuning. The first two are computed here; the others are ordinary runs. What came of them lies in a folder of its
own beside the runs, which `hftune ladder` fills result by result and reads when it is started again:

    runs/ladders/<name>-<8 hex>/     the hex digits stand for the resolved recipe and the data
      ladder.json                    all that `hftune ladder --json` prints; `complete` says whether it is all of it
      ladder.csv                     a line a result: rung, seed, run, what it cost, every figure on the test split
      outputs/<rung>.npy             float64 [test rows, outputs]: logits of each test row, in the order of the rows
      outputs/<run>.npy              the same of a run, under the run's name
      models/<rung>.safetensors      what was fitted here: majority's frequencies, TF-IDF's weights (as float64)
      models/tfidf.json              TF-IDF's vocabulary: term -> column
"""
