"""How the chances that a ranking model predicts are corrected after the training. Imports no TensorFlow."""

from dataclasses import dataclass

from features.kinds import Kinds


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """A correction of a binary task's scores, fitted on the validation split after each epoch."""


@dataclass(frozen=True, kw_only=True)
class AutoCalibrationConfig(CalibrationConfig):
    """The kind with the least log loss on the validation split, measured by cross-validation; often `none`."""


@dataclass(frozen=True, kw_only=True)
class NoCalibrationConfig(CalibrationConfig):
    """The scores as they are."""


@dataclass(frozen=True, kw_only=True)
class PlattConfig(CalibrationConfig):
    """A straight line through the logits; it keeps the order of the scores."""


@dataclass(frozen=True, kw_only=True)
class IsotonicConfig(CalibrationConfig):
    """A curve that never falls; scores on one of its steps become equal."""


CALIBRATIONS = Kinds(
    CalibrationConfig,
    {
        "auto": (AutoCalibrationConfig, None),
        "none": (NoCalibrationConfig, "trainer.ranking.calibration.none:NoCalibration"),
        "platt": (PlattConfig, "trainer.ranking.calibration.platt:PlattScaling"),
        "isotonic": (IsotonicConfig, "trainer.ranking.calibration.isotonic:IsotonicCalibration"),
    },
    default="auto",
)
