# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite's configuration in, systems by sets by metrics out: rows, tables, and a report."""
