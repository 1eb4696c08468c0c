-- What an entry rests on, as JSON: the gate's verdict on the version that it makes live, and the digests of the rows it tells
-- of, so that these cannot be edited or deleted unseen either. NULL: nothing, and every entry from before.
ALTER TABLE audit ADD COLUMN evidence TEXT;
