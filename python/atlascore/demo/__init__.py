"""The demonstration behind `atlascore demo`: a classifier, its ordinary callers, and two who attack it.

victim       the classifier and the application that serves it
server       that application behind the middleware, on loopback
clients      who calls it, over HTTP
hopskipjump  the attack of the thief
tally        what they asked and what they got
screen       how that is shown
play         one run from the training to the verdict
"""
