"""gBCE: binary cross-entropy without the overconfidence of sampled negatives (https://arxiv.org/abs/2308.07192)."""

import tensorflow as tf

from trainer.config.losses import GBCEConfig
from trainer.retrieval.losses.bce import bce_loss
from trainer.retrieval.losses.pairwise import PairwiseLoss


class GBCELoss(PairwiseLoss):
    """Mean binary cross-entropy with the positive's probability to a power that the sampling rate decides."""

    def __init__(self, config: GBCEConfig, num_items: int) -> None:
        """Takes the options and the size of the catalogue."""
        super().__init__(config, num_items)
        self.calibration = config.calibration

    def compare(
        self, positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor, positive_query: tf.Tensor
    ) -> tf.Tensor:
        """Returns `bce_loss` with the power of `gbce_power`."""
        # In float64, since the power is small where the catalogue is large.
        rate = tf.cast(tf.shape(negative_logits)[1], tf.float64) / max(1, self.num_items - 1)
        power = tf.cast(gbce_power(tf.minimum(rate, 1.0), self.calibration), tf.float32)
        return bce_loss(positive_logits, negative_logits, is_negative, positive_query, power=power)


def gbce_power(sampling_rate: float | tf.Tensor, calibration: float) -> float | tf.Tensor:
    """The power beta of gBCE (Eq. 14): alpha (t (1 - 1/alpha) + 1/alpha).

    Args:
        sampling_rate: alpha, the share of the catalogue's other items that a positive is compared with; a number or
            `[] float64`.
        calibration: t, from 0 (plain binary cross-entropy) to 1 (probabilities as calibrated as with all items).
    """
    return sampling_rate * (calibration * (1.0 - 1.0 / sampling_rate) + 1.0 / sampling_rate)
