"""Proposed cases: questions made from a snapshot's pages, which count only once a person has accepted them."""
