module beyond

go 1.23
