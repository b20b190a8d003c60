# SPDX-License-Identifier: GPL-3.0-or-later
"""Tensors in, tensors out: the networks of the model, one per file; no files are read here."""
