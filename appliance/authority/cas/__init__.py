"""CA keys: ``ceremony`` makes them, ``rotation`` says which step comes when, ``overview`` shows them."""
