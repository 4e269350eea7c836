DROP TABLE leveret.exported;
DROP TABLE leveret.exports;
