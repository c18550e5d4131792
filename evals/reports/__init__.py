"""Reports: what a run or a comparison looks like to a person, a pull request and a test runner."""
