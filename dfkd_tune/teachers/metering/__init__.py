"""Teachers whose every answer has a price: rows are claimed before they are asked, and answers are kept."""
