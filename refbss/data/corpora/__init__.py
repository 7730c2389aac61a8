"""Mixtures ready made, as other people's corpora come: one small file a layout, listed in ``registry``."""
