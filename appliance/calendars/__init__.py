"""iCalendar (RFC 5545): files and feeds in, leave to be booked out.

A calendar is what somebody else wrote, and a feed what a network answers. Both are read by a process of their
own, with little memory, little time and no power; nothing of it is in the authority, beside the token.
"""
