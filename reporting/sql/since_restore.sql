-- After a restore into another cluster transaction numbers of before mean nothing: rows by their own time, with an
-- overlap for transactions that were open when the last snapshot was taken. Doubled rows show by their id; lost ones
-- would not show at all.
x.at >= %(since)s
