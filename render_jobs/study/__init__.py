# SPDX-License-Identifier: GPL-3.0-or-later
"""Human A/B studies: pairs of videos in, ratings and a report out."""
