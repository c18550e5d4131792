"""The checks that ship with Lockgate, a module a family; ``guardrails.catalogue`` lists them."""
