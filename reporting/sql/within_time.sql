-- Rows of [from, to) by their own time, of those that are visible now. For exports asked for by a person.
x.at >= %(from)s AND x.at < %(to)s
