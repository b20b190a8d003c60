# SPDX-License-Identifier: GPL-3.0-or-later
"""Scene and session in, the sidebar's tab "Ex-Omni" out; panels draw only and change nothing."""
