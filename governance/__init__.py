"""What the provider runs and is bound by: services, functions, technologies, supporters, the category tree."""
