"""The demonstration behind `atlascore demo`: a classifier, its ordinary callers, and a thief.

victim    the classifier and the application that serves it
server    that application behind the middleware, on loopback
clients   who calls it, over HTTP
tally     what they asked and what they got
screen    how that is shown
play      one run from the training to the verdict
"""
