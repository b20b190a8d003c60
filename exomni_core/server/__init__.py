# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines as a local service: prompts in over HTTP, events and clips out."""
