"""The classifier that learns from the desk (issue 4 Build 3): character n-grams and a linear model.

`ngrams` scores at run time with numpy alone, `training` learns with scikit-learn, `artefact` is the file between them.
"""
