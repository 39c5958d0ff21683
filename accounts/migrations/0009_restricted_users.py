from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_guesses")]

    operations = [
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                fields=["account_status", "id"],
                name="user_restricted",
                condition=models.Q(("account_status", "active"), _negated=True),
            ),
        ),
    ]
