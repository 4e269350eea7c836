DROP FUNCTION leveret.broadcast(text, text, jsonb, text);
DROP FUNCTION leveret.message(text, text, jsonb, integer, text);
DROP FUNCTION leveret.start(text, jsonb, text, integer, text, text, text);
DROP FUNCTION leveret.push_command(text, text, jsonb, text);
DROP FUNCTION leveret.refuse_number(jsonb);
DROP FUNCTION leveret.doubles(record);
DROP FUNCTION leveret.refuse_key(text);
DROP FUNCTION leveret.uuidv7();
