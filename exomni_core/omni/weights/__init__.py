# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of models in, checked weights on disk and loaded parts out."""
