"""From frames to what people read: spreadsheet, page, plots. These files only format."""
