"""Embedding → LSTM → Dense: the small text classifier that introductions begin with, as a transformers model.

Importing this module makes it known: `AutoModelForSequenceClassification.from_pretrained(folder)` then loads one.

h_t = o_t ⊙ tanh(c_t), c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t (Hochreiter and Schmidhuber, Long Short-Term Memory, Neural
Computation 9(8), 1997; with the forget gate of Gers et al., 2000). The text's answer is a linear layer over the h of
its last token; padding after it is never read, so that it cannot change an answer.
"""

from __future__ import annotations

from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


@strict
class LstmConfig(PreTrainedConfig):  # type: ignore[misc]
    """Sizes of the network: width of the embedding, width of the LSTM's state, how many LSTMs stand on each other."""

    model_type = "lstm"

    vocab_size: int = 1000
    embedding_size: int = 64
    hidden_size: int = 64
    num_hidden_layers: int = 1
    dropout: float | int = 0.0
    pad_token_id: int | None = 0


class LstmForSequenceClassification(PreTrainedModel):  # type: ignore[misc]
    """The classifier; its `num_labels` outputs are logits."""

    config_class = LstmConfig
    base_model_prefix = "lstm"
    main_input_name = "input_ids"

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        self.lstm = nn.LSTM(config.embedding_size, config.hidden_size, config.num_hidden_layers, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the table of word vectors [vocabulary, width]."""
        return self.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the table of word vectors."""
        self.embedding = value

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw new weights as Keras does in the worked example: uniform, Glorot, orthogonal; a forget bias of one.

        Glorot and Bengio 2010; Saxe et al. 2014; Jozefowicz et al. 2015 for the bias.
        """
        if isinstance(module, nn.Embedding):
            nn.init.uniform_(module.weight, -0.05, 0.05)
            if module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(parameter)
                else:
                    nn.init.zeros_(parameter)
                    if name.startswith("bias_ih"):  # torch adds two biases; gates are input, forget, cell, output
                        parameter[module.hidden_size : 2 * module.hidden_size] = 1.0

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Return logits [batch, labels], and the loss of `labels` by config.problem_type where they are given.

        `input_ids` int64 [batch, tokens] padded on the right, `attention_mask` 1 for tokens, 0 for padding.
        """
        hidden = self._read(input_ids, attention_mask)[1]
        logits = self.classifier(self.dropout(hidden[-1]))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def token_states(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the upper LSTM's h after each token [batch, tokens, width], 0 where there is padding."""
        packed, _ = self._read(input_ids, attention_mask)
        states, _ = pad_packed_sequence(packed, batch_first=True, total_length=input_ids.shape[1])
        return states

    def _read(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[PackedSequence, torch.Tensor]:
        """Return the upper LSTM's h after each token, and each LSTM's after the last token of a text."""
        lengths = torch.full((len(input_ids),), input_ids.shape[1]) if attention_mask is None else attention_mask.sum(1)
        vectors = self.embedding(input_ids)
        # A text without a token is read as one of padding: an LSTM needs something to read.
        packed = pack_padded_sequence(vectors, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        states, (hidden, _) = self.lstm(packed)
        return states, hidden


AutoConfig.register("lstm", LstmConfig, exist_ok=True)
AutoModelForSequenceClassification.register(LstmConfig, LstmForSequenceClassification, exist_ok=True)
