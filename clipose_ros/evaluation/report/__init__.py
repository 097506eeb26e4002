"""Reports: HTML pages, breakdown tables, images of the worst poses."""
