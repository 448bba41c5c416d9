"""What flows between the rooms of the house: frozen dataclasses that check their shapes, and their file formats."""

from res3d.structures.clip_features import ClipFeatures, ClipFeaturesWriter

__all__ = ["ClipFeatures", "ClipFeaturesWriter"]
